"""The Pulumi side: stack files, and the components that create what a plan asks for."""
