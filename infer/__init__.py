import config

config.share_processors()
