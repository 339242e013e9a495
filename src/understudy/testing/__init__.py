"""The testing kit: what a program that uses understudy needs to test itself without a provider."""
