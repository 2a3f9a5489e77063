"""The main job on real text: SciFact, encoded, indexed, searched, judged, and learnt from."""
