"""Configuration: strict TOML, the environment and code, merged into one frozen `Config`.

`load_config` reads and checks everything and reports every problem at once; `build_workflow` turns
a workflow of the file into the same spec that code would build. Import from the modules: a runtime
that reads no file does not load the parser.
"""
