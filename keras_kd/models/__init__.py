"""Teachers and students: Functional Keras models of stock layers."""
