"""Workers in processes of their own, which can really be killed."""
