"""certmongerd.store"""
