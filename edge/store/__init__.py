"""What happens to samples and events once they are found: archive, summary channel, downlink, hand-over."""
