"""What the files of formats are made of: JSON, XML, pictures, videos."""
