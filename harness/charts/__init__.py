"""What every figure is made of, over plain numbers: the record of a figure, axes, colours and shapes."""
