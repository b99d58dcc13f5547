"""Reading of DICOM: data sets, slice headers, pixels as Hounsfield units, and the slices that form one volume."""
