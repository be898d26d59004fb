ARG base_image
FROM example.com/test/new
