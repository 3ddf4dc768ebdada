"""How does one run go from YAML to sealed files?"""
