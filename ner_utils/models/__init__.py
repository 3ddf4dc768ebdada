"""How does a model learn and predict?"""
