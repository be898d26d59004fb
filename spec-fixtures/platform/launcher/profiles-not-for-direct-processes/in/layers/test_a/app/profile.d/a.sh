export SOURCED=layer
