"""certmongerd.config"""
