"""Where a scan reads and writes: archives and their index, the scan's folder, leases, the catalogue, kept segments.

In: an archive's address and the scan's output folder. Out: files of this machine, and marks, rows and segments on disk.
Read `scan_folder` first: it names all that a scan writes.
"""
