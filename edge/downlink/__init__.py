"""The downlink: in come segments, requests and SSAM records, out come files for the radio within a daily budget.

Start with `downlink`, which makes the passes; `send_queue` ranks what is sent, `outbox` and `journal` deliver it once.
"""
