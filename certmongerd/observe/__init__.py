"""certmongerd.observe"""
