"""One script per page, which Streamlit runs: layout only.

Not called ``pages``: a folder of that name beside the main script makes Streamlit run a page without ``app.py`` when it
is the first one that anybody asks for.
"""
