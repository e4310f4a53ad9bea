"""certmongerd.keystore"""
