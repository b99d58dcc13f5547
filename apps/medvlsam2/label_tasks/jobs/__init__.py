"""Jobs (training, batch inference, scoring): the options of a request, the queue, and the process that runs a job."""
