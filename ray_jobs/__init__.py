"""How the method in `ddb` runs on a cluster: Ray Train, Ray Data, the stage graph. No loss and no metric lives here."""
