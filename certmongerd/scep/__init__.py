"""certmongerd.scep"""
