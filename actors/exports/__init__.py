"""Write one tenant's data to a file for a caller: what is asked, columns, formats, where files and records are."""
