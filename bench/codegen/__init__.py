"""What the compiler made of a Triton kernel: facts of the machine code, without a GPU. No fact is a speed."""
