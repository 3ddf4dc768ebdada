"""Does a study fit? Memory, disk and time, estimated before anything is downloaded."""
