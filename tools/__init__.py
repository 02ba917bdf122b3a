import moved

moved.install()
