"""Where rejections come from."""
