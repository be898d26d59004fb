# Sourced by bash before a shell process starts.
export SAMPLE_PROFILE="profile of samples/greeting"
