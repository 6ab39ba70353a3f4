"""The Streamlit dashboard: asks the sidecar's API, shows what it says, sends back what a person decides."""
