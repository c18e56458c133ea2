"""What Penstock needs to run elsewhere: the stand-in for AWS on a laptop."""
