import config
import moved

config.share_processors()
moved.install()
