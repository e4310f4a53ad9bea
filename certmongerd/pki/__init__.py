"""certmongerd.pki"""
