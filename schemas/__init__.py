"""What a file may say: text → documents or problems. Pure, no I/O; imports none of the other folders."""
