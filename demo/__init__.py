"""The main job on two portraits: enrol with a teacher, swap to its student under load, forget somebody."""
