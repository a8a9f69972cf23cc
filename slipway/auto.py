"""`gpu: auto` in a stack file: settings in, settings out with what advice chose."""
