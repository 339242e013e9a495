from understudy.actors.rules.docstrings import parse_docstring

GOOGLE = """Current weather.

    Measured, not forecast.

    Args:
        city: city name,
            in English
        unit (str): `C` or `F`
        **more: ignored

    Returns:
        text: not a parameter
    """
NUMPY = """Current weather.

    Parameters
    ----------
    city : str
        City name,
        in English.
    lat, lon : float
        Where it is.

    Returns
    -------
    str
        Not a parameter.
    """
SPHINX = """Current weather.

    :param city: city name,
        in English
    :param str unit: `C` or `F`
    :type city: str
    :returns: not a parameter
    """


def test_google() -> None:
    """Names under `Args:`, with types or stars; continued lines are joined."""
    said = parse_docstring(GOOGLE)
    assert said.description == "Current weather.\n\nMeasured, not forecast."
    assert said.parameters == {
        "city": "city name, in English",
        "unit": "`C` or `F`",
        "more": "ignored",
    }


def test_numpy() -> None:
    """Names at the margin under an underlined heading; several may share a text."""
    said = parse_docstring(NUMPY)
    assert said.description == "Current weather."
    assert said.parameters == {
        "city": "City name, in English.",
        "lat": "Where it is.",
        "lon": "Where it is.",
    }


def test_sphinx() -> None:
    """`:param name:` with or without a type; other fields are no parameters."""
    said = parse_docstring(SPHINX)
    assert said.description == "Current weather."
    assert said.parameters == {"city": "city name, in English", "unit": "`C` or `F`"}


def test_text_without_sections_is_all_description() -> None:
    """Colons in prose, and no docstring at all, are no error."""
    assert parse_docstring(None) == ("", {})
    said = parse_docstring("Note: this: is prose.\n\nThings:\n    a: b")
    assert said.description.startswith("Note: this: is prose.")
    assert said.parameters == {}
