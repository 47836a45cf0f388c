"""What people's corrections teach: which of them count, and which texts they speak for."""
