"""A model and records come in; trigger settings go out, as a copy of the model's manifest or as a report.

Read `operating_point` first: the rule that chooses a setting. `label_tuning`, `false_alarm_tuning` and
`cross_validation` are the three commands that use it; `baseline_grid` tunes the baselines.
"""
