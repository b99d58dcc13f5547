"""Child process that decodes compressed DICOM pixels, so that a crash of the native decoder does not end the server.

The server runs this file with an isolated interpreter (``python -I``). The file imports neither this package nor
torch. It reads the DICOM files of a folder in the order of their names. For each file it writes one line of JSON and
then the stored pixels as raw bytes.

Arguments: the folder, the largest address space in bytes, and the largest processor time in seconds.
"""

import json
import os
import resource
import sys


def main(folder: str, memory_bytes: int, processor_s: int) -> None:
    """Write the pixels of all files to standard output."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_s, processor_s))
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for name in sorted(os.listdir(folder)):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(os.path.join(folder, name))
        try:
            pixels = sitk.GetArrayFromImage(reader.Execute())
        except (RuntimeError, MemoryError) as error:
            send({"error": str(error).strip().splitlines()[-1][-120:] if str(error).strip() else type(error).__name__})
            continue
        send({"shape": pixels.shape, "dtype": pixels.dtype.str})
        sys.stdout.buffer.write(pixels.tobytes())
        sys.stdout.buffer.flush()


def send(facts: dict) -> None:
    """Write one line of JSON."""
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
