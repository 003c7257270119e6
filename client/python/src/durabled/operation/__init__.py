"""The operations, each written once as a generator; see durabled._drive."""
