"""A data folder comes in; training and validation records and a bank of recorded noise and quakes go out.

No event group is on both sides, and nothing of the validation records is in the bank.
Read `training_data.py` first.
"""
