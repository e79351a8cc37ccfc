"""The control loop: admit, observe, decide, record, act, meter, bill. The same code in the live network and in the twin."""
