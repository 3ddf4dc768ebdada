"""What came out, and may it be used?"""
