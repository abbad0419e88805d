"""Reviews: what people say of the events of a run, kept beside the run folder, and as labels for tuning and training.

In: the catalogue of a run and the reviewers' actions. Out: `reviews.jsonl`, and a labelled data folder. Read
`review_store.py` first, then `labelled_folder.py`.
"""
