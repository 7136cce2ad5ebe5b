"""Pairs of images and masks: found, checked, split, drawn into batches.

What bites here:

- Loading workers ignore Ctrl-C and SIGTERM, because the main process still has to finish its step: whoever starts them
  has to end them, as `seg.data.batches.make_loader` does.
- Files are listed by `seg.data.pairs.folders` alone; what writes pictures calls `check_apart` first, or the next call
  would read them.
- Masks of pairs with ``instances`` are int32 inside transforms: the class in the lowest byte (``mask.byte()``), the
  number above.
- When `seg.data.checked.check` learns to find something new, raise the number in its purpose ("check 3"): results are
  remembered for files of the same size, times and inode.
- Copying ``pixels[..., ::-1]`` takes NumPy as long as decoding a JPEG; ``cv2.cvtColor`` gives the same bytes.
"""
