"""Operations on the GPU stack. Every one of them does nothing on a host without `gpu`."""
