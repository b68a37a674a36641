"""How a student inherits its teacher's embedding space. The only home of torch."""
