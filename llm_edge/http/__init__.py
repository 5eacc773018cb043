"""Everything that knows HTTP libraries: faces above, senders below. Makes no decisions about a call."""
