"""Pure: what the API said goes in, what a page shows comes out. Nothing here imports streamlit."""
