"""certmongerd.busapi"""
