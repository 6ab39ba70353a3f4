"""Layout that is more than a page's own: the frame around each, and the card of a finding or a recommendation."""
