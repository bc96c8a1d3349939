module trousseau.io/test/pause

go 1.25.0
