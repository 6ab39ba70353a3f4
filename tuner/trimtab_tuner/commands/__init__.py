"""The heavier commands of ``trimtab``, one module each; each exposes ``command``.

They are found through the entry-point group ``trimtab.commands``, so the door needs to import nothing of this package.
"""
